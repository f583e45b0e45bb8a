import { lazy, Suspense } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import { useLive } from "./api/live";
import { Empty } from "./parts/Facts";
import { Failure } from "./parts/Failure";
import { SessionMenu } from "./rooms/session/SessionMenu";
import { useMe, usePanic } from "./useOpsService";

const ReviewPanel = lazy(() => import("./rooms/approval/ReviewPanel"));
const RunsView = lazy(() => import("./rooms/runs/RunsView"));
const PipelinesView = lazy(() => import("./rooms/pipelines/PipelinesView"));

const VIEWS = [
  ["/review", "Review"],
  ["/runs", "Runs"],
  ["/pipelines", "Pipelines"],
] as const;

function Navigation() {
  const [at] = useLocation();
  return (
    <nav className="tabs" aria-label="OPS">
      {VIEWS.map(([href, name]) => (
        <Link key={href} href={href} aria-current={`${at}/`.startsWith(`${href}/`) ? "page" : undefined}>
          {name}
        </Link>
      ))}
    </nav>
  );
}

function Banners({ live }: { live: boolean }) {
  const panic = usePanic();
  return (
    <div aria-live="polite">
      {panic.data?.panic_mode ? (
        <p className="banner" data-tone="bad">
          Panic mode is on: nothing begins. {panic.data.by}: {panic.data.reason}
        </p>
      ) : null}
      {live ? null : <p className="banner">Not connected. What you see may be old; trying again.</p>}
    </div>
  );
}

/** The shell: who am I, where am I, is it live. */
export function OpsIsland({ signedIn }: { signedIn: boolean }) {
  const me = useMe();
  const live = useLive(signedIn && me.data !== undefined);
  if (me.data === undefined) {
    return me.error && signedIn ? <Failure of={me.error} again={() => void me.refetch()} /> : null;
  }
  return (
    <div className="shell">
      <a className="skip" href="#main">
        To the content
      </a>
      <header className="bar">
        <Link href="/review" className="name">
          Interlock
        </Link>
        <Navigation />
        <SessionMenu me={me.data} />
      </header>
      <Banners live={live} />
      <main id="main" tabIndex={-1}>
        <Suspense fallback={<p className="waiting">…</p>}>
          <Switch>
            <Route path="/">
              <Redirect to="/review" replace />
            </Route>
            <Route path="/review/:id?">{({ id }) => <ReviewPanel id={id} me={me.data} />}</Route>
            <Route path="/runs/:id?">{({ id }) => <RunsView id={id} me={me.data} />}</Route>
            <Route path="/pipelines/runs/:run">{({ run }) => <PipelinesView run={run} me={me.data} />}</Route>
            <Route path="/pipelines/definitions/:name">{({ name }) => <PipelinesView name={name} me={me.data} />}</Route>
            <Route path="/pipelines">
              <PipelinesView me={me.data} />
            </Route>
            <Route>
              <Empty title="There is no such page">The tabs above lead to everything that there is.</Empty>
            </Route>
          </Switch>
        </Suspense>
      </main>
    </div>
  );
}
