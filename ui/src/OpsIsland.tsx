import { Suspense, useEffect, useRef } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import { useLive } from "./api/live";
import { Broken } from "./parts/Broken";
import { Empty } from "./parts/Facts";
import { Failure } from "./parts/Failure";
import { SessionMenu } from "./rooms/session/SessionMenu";
import { useMe, usePanic } from "./useOpsService";
import { MAINTENANCE, OPS, type View } from "./views";

function isAt(at: string, view: View): boolean {
  return `${at}/`.startsWith(`${view.href}/`);
}

function Navigation() {
  const [at] = useLocation();
  const views = useRef<HTMLElement>(null);
  const here = MAINTENANCE.some((view) => isAt(at, view)) ? MAINTENANCE : OPS;
  const halves = [
    ["/maintenance", "Maintenance", MAINTENANCE],
    ["/inbox", "OPS", OPS],
  ] as const;
  const current = here.find((view) => isAt(at, view))?.href;
  useEffect(() => {
    if (current === undefined) return;
    views.current?.querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [current]);
  return (
    <>
      <nav className="tabs halves" aria-label="Parts">
        {halves.map(([href, name, half]) => (
          <Link key={href} href={href} aria-current={half === here ? "true" : undefined}>
            {name}
          </Link>
        ))}
      </nav>
      <nav className="tabs views" aria-label={here === OPS ? "OPS" : "Maintenance"} ref={views}>
        {here.map((view) => (
          <Link key={view.href} href={view.href} aria-current={isAt(at, view) ? "page" : undefined}>
            {view.name}
          </Link>
        ))}
      </nav>
    </>
  );
}

function Banners({ live }: { live: boolean }) {
  const panic = usePanic();
  return (
    <div aria-live="polite" className="banners">
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
  const [at] = useLocation();
  if (me.data === undefined) {
    return me.error && signedIn ? <Failure of={me.error} again={() => void me.refetch()} /> : null;
  }
  const looks = me.data;
  return (
    <div className="shell">
      <a className="skip" href="#main">
        To the content
      </a>
      <header className="bar">
        <Link href="/inbox" className="name">
          Interlock
        </Link>
        <Navigation />
        <SessionMenu me={looks} />
      </header>
      <Banners live={live} />
      <main id="main" tabIndex={-1}>
        <Broken at={at}>
          <Suspense fallback={<p className="waiting">…</p>}>
            <Switch>
              <Route path="/">
                <Redirect to="/inbox" replace />
              </Route>
              {[...OPS, ...MAINTENANCE].map(({ href, Screen }) => (
                <Route key={href} path={`${href}/*?`}>
                  {(named) => <Screen id={named["*"] || undefined} me={looks} />}
                </Route>
              ))}
              <Route>
                <Empty title="There is no such page">The bar leads to everything that there is.</Empty>
              </Route>
            </Switch>
          </Suspense>
        </Broken>
      </main>
    </div>
  );
}
