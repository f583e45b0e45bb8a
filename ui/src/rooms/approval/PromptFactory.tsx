import { useState } from "react";
import { Link, useLocation } from "wouter";
import { isProblem } from "../../api/client";
import { Command } from "../../parts/Copy";
import { Failure } from "../../parts/Failure";
import type { ViewProps } from "../../parts/ViewProps";
import { shellWords } from "../../parts/words";
import type { Me } from "../../types";
import { useCreateDraft, useDefaults, useGenerateDraft } from "../../useOpsService";
import { useProviders } from "../providers/useProviders";
import "./approval.css";
import { DraftFields } from "./DraftFields";
import { EMPTY, errorsIn, type Fields, optionsOf, problemsOf, readContext, willHold, workOf } from "./form";
import { answered, keyFor } from "./once";
import { WhatRuns } from "./WhatRuns";

type Way = "by hand" | "with the provider";

/** What is typed outlives a look at another tab, but not the page, and is nobody else's. */
let kept: { owner: string; fields: Fields; way: Way } | undefined;

function empty(me: Me): NonNullable<typeof kept> {
  return { owner: me.id, fields: EMPTY, way: "by hand" };
}

function useKept(me: Me) {
  const [state, setState] = useState(kept?.owner === me.id ? kept : empty(me));
  const keep = (next: { fields?: Fields; way?: Way }) => {
    kept = { ...state, ...next };
    setState(kept);
  };
  return [state, keep] as const;
}

function Provider() {
  const providers = useProviders(true);
  if (providers.data) {
    return (
      <p className="hint">
        <strong>{providers.data.active}</strong> writes the content. Its draft takes the workspace's own agent and
        repository; you can edit all of it in Review. <Link href="/provider">Another provider</Link>
      </p>
    );
  }
  if (!providers.error) return <p className="waiting">…</p>;
  return (
    <>
      <Failure of={providers.error} />
      <p className="hint">
        No provider is there to ask. <Link href="/provider">Provider</Link> shows how one is set up; by hand needs none.
      </p>
    </>
  );
}

/** Write a draft by hand, or let the provider write it. A person then looks at it: nothing is started here. */
export default function PromptFactory({ me }: ViewProps) {
  if (me.role === "admin") return <Factory me={me} />;
  return (
    <div className="review-page">
      <h1>Prompt Factory</h1>
      <p className="hint">
        Writing a draft takes the role admin; yours is {me.role}. You can read what others wrote in Review.
      </p>
    </div>
  );
}

function Factory({ me }: { me: Me }) {
  const [{ fields, way }, keep] = useKept(me);
  const [tried, setTried] = useState(false);
  const [, go] = useLocation();
  const defaults = useDefaults();
  const create = useCreateDraft();
  const generate = useGenerateDraft();
  const byHand = way === "by hand";
  const ask = byHand ? create : generate;
  const settled = ask.isPending || ask.isSuccess;
  const wrong = byHand ? problemsOf(fields) : fields.prompt.trim() ? {} : { prompt: "A draft needs a prompt." };
  const errors = { ...(tried ? wrong : {}), ...(isProblem(ask.error) ? errorsIn(ask.error) : {}) };

  function send() {
    setTried(true);
    if (settled || Object.keys(wrong).length) return;
    const context = readContext(fields.context) ?? null;
    const onSuccess = ({ id }: { id: string }) => {
      answered();
      kept = undefined;
      go(`/review/${id}`);
    };
    const onError = (failure: unknown) => {
      if (isProblem(failure)) answered(); // an answer that was lost is asked for by the same key
    };
    const header = (body: unknown) => ({ header: { "Idempotency-Key": keyFor([way, body]) } });
    if (byHand) {
      const body = { prompt: fields.prompt, content: fields.content || null, context, work: workOf(fields) };
      create.mutate({ params: header(body), body }, { onSuccess, onError });
    } else {
      const body = { prompt: fields.prompt, context };
      generate.mutate({ params: header(body), body }, { onSuccess, onError });
    }
  }
  return (
    <form
      className="review-page"
      aria-label="New draft"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <h1>Prompt Factory</h1>
      <div className="filters" role="group" aria-label="How the draft is written">
        {(["by hand", "with the provider"] as const).map((each) => (
          <button key={each} type="button" aria-pressed={way === each} onClick={() => keep({ way: each })}>
            {each}
          </button>
        ))}
      </div>
      {byHand ? null : <Provider />}
      <div className="review-columns">
        <div className="review-column">
          <DraftFields
            fields={fields}
            errors={errors}
            defaults={defaults.data}
            {...(byHand ? {} : { only: "prompt" })}
            onChange={(next) => keep({ fields: next })}
          />
        </div>
        {byHand && defaults.data ? (
          <WhatRuns title="What will hold" terms={willHold(fields, defaults.data.work)} />
        ) : null}
      </div>
      <Command line={shellWords(["interlock", "draft", ...(byHand ? creating(fields) : generating(fields))])} />
      {ask.error ? <Failure of={ask.error} /> : null}
      <div className="actions">
        <button type="submit" className="verb" data-tone="good" disabled={settled}>
          {ask.isPending ? "…" : byHand ? "Create draft" : "Generate draft"}
        </button>
        <span className="hint">Nothing is started by it. A person reviews it first.</span>
      </div>
    </form>
  );
}

function creating(fields: Fields): string[] {
  return ["create", ...optionsOf(fields)];
}

function generating(fields: Fields): string[] {
  return ["generate", ...optionsOf({ ...EMPTY, prompt: fields.prompt, context: fields.context })];
}
