import createFetchClient from "openapi-fetch";
import createClient from "openapi-react-query";
import type { Problem } from "../types";
import { hear } from "./clock";
import type { paths } from "./schema.gen";

/** `fetch` is looked up at each request: a test may replace it. The session's cookie goes along by itself. */
export const client = createFetchClient<paths>({
  baseUrl: globalThis.location?.origin ?? "",
  fetch: async (request) => {
    const answer = await globalThis.fetch(request);
    hear(answer.headers.get("date"));
    return answer;
  },
});

export const api = createClient(client);

/** Whether a failure is the server's own answer; everything else never reached it. */
export function isProblem(failure: unknown): failure is Problem {
  return typeof failure === "object" && failure !== null && "code" in failure && "detail" in failure;
}

export function statusOf(failure: unknown): number | undefined {
  return isProblem(failure) ? failure.status : undefined;
}
