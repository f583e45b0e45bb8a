import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { useMemo, useState } from "react";
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
      queries: {
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
  const queries = useMemo(() => newQueries(() => setSignedOut(true)), []);
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
