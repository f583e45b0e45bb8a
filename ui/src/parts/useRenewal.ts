import { useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";

/** A way to ask again for all that stands on the server below an address. */
export function useRenewal(below: `/ops/${string}`): () => void {
  const queries = useQueryClient();
  return useCallback(
    () => void queries.invalidateQueries({ predicate: ({ queryKey }) => String(queryKey[1]).startsWith(below) }),
    [queries, below],
  );
}
