import { isProblem } from "../api/client";
import { Copy } from "./Copy";

/** What went wrong, in the server's own words, with what to do and what to ask for in its log. */
export function Failure({ of: failure, again }: { of: unknown; again?: () => void }) {
  const said = isProblem(failure)
    ? failure
    : { detail: "The server can not be reached.", hint: "Nothing was changed here. Is `interlock serve` running?" };
  return (
    <div className="failure" role="alert">
      <strong>{said.detail}</strong>
      {said.hint ? <p>{said.hint}</p> : null}
      {isProblem(failure) ? (
        <p className="small">
          {failure.code} · <code>{failure.correlation_id}</code>{" "}
          <Copy text={failure.correlation_id} what="the correlation id" />
        </p>
      ) : null}
      {again ? (
        <button type="button" onClick={again}>
          Try again
        </button>
      ) : null}
    </div>
  );
}
