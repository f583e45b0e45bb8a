import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { isProblem, statusOf } from "./api/client";
import { OpsIsland } from "./OpsIsland";
import { Login } from "./rooms/session/Login";

function newQueries(signedOut: () => void): QueryClient {
  const onError = (failure: unknown) => {
    if (statusOf(failure) === 401) signedOut();
  };
  return new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({ onError }),
    defaultOptions: {
      mutations: { networkMode: "always" }, // else one that waits for a network would be done later, unasked
      queries: {
        networkMode: "always", // the server may be on this machine, whatever the browser knows of networks
        staleTime: Number.POSITIVE_INFINITY, // events say when it is not fresh any more
        retry: (count, failure) => !isProblem(failure) && count < 2,
        refetchOnWindowFocus: false,
      },
    },
  });
}

/** Everything; where a session has ended, the log-in lies over the work and nothing of it is lost. */
export function App() {
  const [signedOut, setSignedOut] = useState(false);
  const at = useRef<Element | null>(null);
  const queries = useMemo(() => {
    return newQueries(() => {
      at.current ??= document.activeElement;
      setSignedOut(true);
    });
  }, []);
  useEffect(() => {
    const was = at.current;
    if (signedOut || was === null) return;
    at.current = null;
    if (was instanceof HTMLElement) was.focus(); // where they were when the session ended
  }, [signedOut]);
  return (
    <QueryClientProvider client={queries}>
      <div inert={signedOut}>
        <OpsIsland signedIn={!signedOut} />
      </div>
      {signedOut ? (
        <Login
          onDone={() => {
            setSignedOut(false);
            void queries.invalidateQueries();
          }}
        />
      ) : null}
    </QueryClientProvider>
  );
}
