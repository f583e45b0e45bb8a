import { useQuery } from "@tanstack/react-query";
import { client } from "../../api/client";

/** The providers, with the version that a change has to name: it stands in a header, which the short way leaves out. */
export function useProviders(enabled: boolean) {
  return useQuery({
    queryKey: ["get", "/ops/provider", "with its version"],
    enabled,
    queryFn: async ({ signal }) => {
      const { data, error, response } = await client.GET("/ops/provider", { signal });
      if (error) throw error;
      return { ...data, version: response.headers.get("etag") };
    },
  });
}
