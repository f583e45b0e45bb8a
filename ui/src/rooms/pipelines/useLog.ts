import { useCallback, useEffect, useRef, useState } from "react";
import { client } from "../../api/client";
import type { PipelineLine } from "../../types";

const PAGE = 1_000;
const MOST_AT_ONCE = 10;

/**
 * The lines of a run, page by page; what is new is fetched whenever `changed` is another one.
 *
 * Not more than some thousand lines are fetched by themselves; `more` fetches on.
 */
export function useLog(id: string, job: string | undefined, changed: number) {
  const [lines, setLines] = useState<readonly PipelineLine[]>([]);
  const [failure, setFailure] = useState<unknown>();
  const [whole, setWhole] = useState(false);
  const after = useRef(0);
  const busy = useRef(false);
  const again = useRef(false);
  const gone = useRef(false);
  const seen = useRef(changed);

  /** Fetch a page; returns whether there may be another. */
  const page = useCallback(async () => {
    const { data, error } = await client.GET("/ops/pipeline-runs/{pipeline_id}/log", {
      params: { path: { pipeline_id: id }, query: { after: after.current, limit: PAGE, job } },
    });
    if (error) setFailure(error);
    if (data === undefined || gone.current) return false;
    const fresh = data.filter((line) => line.line > after.current);
    after.current = fresh.at(-1)?.line ?? after.current;
    if (fresh.length) setLines((before) => [...before, ...fresh]);
    setWhole(data.length < PAGE);
    return data.length === PAGE;
  }, [id, job]);

  const more = useCallback(async () => {
    again.current = true;
    if (busy.current) return;
    busy.current = true;
    setFailure(undefined);
    try {
      while (again.current) {
        again.current = false;
        for (let many = 0; many < MOST_AT_ONCE && (await page()); many += 1);
      }
    } catch (unreached) {
      setFailure(unreached);
    } finally {
      busy.current = false;
    }
  }, [page]);

  useEffect(() => {
    gone.current = false;
    seen.current = changed;
    void more();
    return () => {
      gone.current = true;
    };
  }, [more, changed]);

  return { lines, failure, whole, more };
}
