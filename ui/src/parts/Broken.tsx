import { Component, type ReactNode } from "react";

interface Props {
  /** Where we are: who goes elsewhere has another screen before them, and it may be whole. */
  at: string;
  children: ReactNode;
}
interface State {
  failed: boolean;
  said: string;
  at: string;
}

/** What an engine says of a file that did not come; Vite says the last of its styles. */
const NOT_LOADED = /dynamically imported module|Importing a module script|preload CSS/i;

/** A screen that could not be loaded, or that failed, says so; what stands around it goes on. */
export class Broken extends Component<Props, State> {
  override state: State = { failed: false, said: "", at: this.props.at };

  static getDerivedStateFromError(failure: unknown): Partial<State> {
    return { failed: true, said: String(failure) };
  }

  static getDerivedStateFromProps({ at }: Props, state: State): Partial<State> | null {
    return at === state.at ? null : { failed: false, said: "", at };
  }

  override render() {
    const { failed, said } = this.state;
    if (!failed) return this.props.children;
    return (
      <div className="page">
        <div className="failure" role="alert">
          <h1>{NOT_LOADED.test(said) ? "This screen could not be loaded." : "This screen has failed."}</h1>
          <p>
            {NOT_LOADED.test(said)
              ? "The server can not be reached, or is of another version than this page. Reload the page."
              : "Nothing was changed by it. Reload the page; if it happens again, report what stands below."}
          </p>
          <p className="small">
            <code>{said}</code>
          </p>
          <button type="button" className="verb" onClick={() => globalThis.location.reload()}>
            Reload
          </button>
        </div>
      </div>
    );
  }
}
