/** What the screens ask of the server: thin names over the generated client, no state of their own. */
import { keepPreviousData } from "@tanstack/react-query";
import { api } from "./api/client";
import type { AlertState, Difference, Draft, LogFilter, PipelineRun, Run } from "./types";

/** Pages of a list, newest first: each next one begins before the last row of the page. */
const PAGE = 50;
const OLDER = {
  pageParamName: "before",
  initialPageParam: null as string | null,
  getNextPageParam: (page: readonly { id: string }[]) => (page.length < PAGE ? undefined : page.at(-1)?.id),
};

export const useMe = () => api.useQuery("get", "/ops/me");
export const usePanic = () => api.useQuery("get", "/ops/panic");
export const useRaisePanic = () => api.useMutation("put", "/ops/panic");
export const useReleasePanic = () => api.useMutation("post", "/ops/panic/release");
export const useInbox = () => api.useQuery("get", "/ops/inbox");
export const useServerStatus = () => api.useQuery("get", "/ui/status");
export const useProviderHealth = (enabled: boolean) =>
  api.useQuery("get", "/ops/provider/health", {}, { enabled, staleTime: Number.POSITIVE_INFINITY, retry: false });
export const useSwitchProvider = () => api.useMutation("put", "/ops/provider");
export const useDefaults = () => api.useQuery("get", "/ops/defaults");

export const useDraftPages = (status: Draft["status"]) =>
  api.useInfiniteQuery("get", "/ops/drafts", { params: { query: { status, limit: PAGE } } }, OLDER);
export const useVersions = (id: string) =>
  api.useQuery("get", "/ops/drafts/{draft_id}/versions", { params: { path: { draft_id: id } } });
export const useDifference = (id: string, to: Difference["to"]) =>
  api.useQuery("get", "/ops/drafts/{draft_id}/difference", { params: { path: { draft_id: id }, query: { to } } });
export const useCreateDraft = () => api.useMutation("post", "/ops/drafts");
export const useGenerateDraft = () => api.useMutation("post", "/ops/generate");
export const useEditDraft = () => api.useMutation("put", "/ops/drafts/{draft_id}");
export const useDraft = (id: string) =>
  api.useQuery("get", "/ops/drafts/{draft_id}", { params: { path: { draft_id: id } } });
export const useApprove = () => api.useMutation("post", "/ops/drafts/{draft_id}/approve");
export const useReject = () => api.useMutation("post", "/ops/drafts/{draft_id}/reject");

export const useRuns = (status?: Run["status"]) =>
  api.useQuery("get", "/ops/runs", { params: { query: status ? { status } : {} } });
export const useRun = (id: string) => api.useQuery("get", "/ops/runs/{run_id}", { params: { path: { run_id: id } } });
export const useRunsOf = (approvedId: string) =>
  api.useQuery("get", "/ops/runs", { params: { query: { approved_id: approvedId } } });
export const useRunPages = (query: { status?: Run["status"]; approved_id?: string }) =>
  api.useInfiniteQuery("get", "/ops/runs", { params: { query: { ...query, limit: PAGE } } }, OLDER);
export const useCreateRun = () => api.useMutation("post", "/ops/runs");
export const useSignHead = () => api.useMutation("post", "/ops/evidence/head");
export const useApprovedPages = () =>
  api.useInfiniteQuery("get", "/ops/approved", { params: { query: { limit: PAGE } } }, OLDER);
export const useApproved = (id: string) =>
  api.useQuery("get", "/ops/approved/{approved_id}", { params: { path: { approved_id: id } } });
export const useRevoke = () => api.useMutation("post", "/ops/approved/{approved_id}/revoke");
export const useCancelRun = () => api.useMutation("post", "/ops/runs/{run_id}/cancel");
export const useRetryRun = () => api.useMutation("post", "/ops/runs/{run_id}/retry");

/** A heartbeat and a look at a run are no events: they are asked for anew while somebody looks. */
const HEARD_MS = 10_000;
export const useTruth = (id: string, goes: boolean) =>
  api.useQuery(
    "get",
    "/ops/runs/{run_id}/truth",
    { params: { path: { run_id: id } } },
    { refetchInterval: goes ? HEARD_MS : false },
  );
export const useTruths = () => api.useQuery("get", "/ops/truth", { params: { query: { limit: 1000 } } });
export const useNodes = () => api.useQuery("get", "/ops/nodes", {}, { refetchInterval: HEARD_MS });
export const useLeaders = () => api.useQuery("get", "/ops/nodes/leaders", {}, { refetchInterval: HEARD_MS });
export const useConfigs = () => api.useQuery("get", "/ops/config", { params: { query: { limit: 1 } } });
export const useHeldBy = (node_id: string) =>
  api.useQuery("get", "/ops/queue/items", { params: { query: { status: "IN_PROGRESS", node_id, limit: 100 } } });
export const useDrainNode = () => api.useMutation("post", "/ops/nodes/{node_id}/drain");
export const useQuarantineNode = () => api.useMutation("post", "/ops/nodes/{node_id}/quarantine");
export const useResumeNode = () => api.useMutation("post", "/ops/nodes/{node_id}/resume");
export const useForgetNode = () => api.useMutation("post", "/ops/nodes/{node_id}/forget");

export const usePipelines = () => api.useQuery("get", "/ops/pipelines");
export const usePipeline = (name: string) =>
  api.useQuery("get", "/ops/pipelines/{name}", { params: { path: { name } } });
export const useAcceptPipeline = () => api.useMutation("post", "/ops/pipelines/{name}/accept");
export const usePipelineRuns = (asked: { status?: PipelineRun["status"]; name?: string; before?: string } = {}) =>
  api.useQuery("get", "/ops/pipeline-runs", { params: { query: asked } });
export const usePipelineRun = (id: string) =>
  api.useQuery("get", "/ops/pipeline-runs/{pipeline_id}", { params: { path: { pipeline_id: id } } });
export const useRunPipeline = () => api.useMutation("post", "/ops/pipelines/{name}/runs");
export const useCancelPipelineRun = () => api.useMutation("post", "/ops/pipeline-runs/{pipeline_id}/cancel");
export const useDeployments = (asked: { name?: string; before?: string } = {}) =>
  api.useQuery("get", "/ops/deployments", { params: { query: asked } });
export const useDeployment = (id: string) =>
  api.useQuery("get", "/ops/deployments/{deployment_id}", { params: { path: { deployment_id: id } } });

export const useLoops = () => api.useQuery("get", "/ops/loops");
export const useLoop = (id: string, repo?: string) =>
  api.useQuery("get", "/ops/loops/{loop_id}", { params: { path: { loop_id: id }, query: { repo } } });
export const useReconcileLoop = () => api.useMutation("post", "/ops/loops/{loop_id}/reconcile");
export const useControlLoop = () => api.useMutation("post", "/ops/loops/{loop_id}/control");
export const useAcknowledgeLoop = () => api.useMutation("post", "/ops/loops/{loop_id}/acknowledge");
export const useUnfreezeLoop = () => api.useMutation("post", "/ops/loops/{loop_id}/unfreeze");
export const useWatches = () => api.useQuery("get", "/ops/loops/watches");
export const useWatchLoops = () => api.useMutation("post", "/ops/loops/watches");
export const useUnwatchLoops = () => api.useMutation("delete", "/ops/loops/watches/{watch_id}");

export const useAlerts = (state: AlertState, before?: string) =>
  api.useQuery("get", "/ops/alerts", { params: { query: { state, before } } });
export const useAlert = (id: string) =>
  api.useQuery("get", "/ops/alerts/{alert_id}", { params: { path: { alert_id: id } } });
export const useAckAlert = () => api.useMutation("post", "/ops/alerts/{alert_id}/ack");
export const useResolveAlert = () => api.useMutation("post", "/ops/alerts/{alert_id}/resolve");
export const useReplayAlert = () => api.useMutation("post", "/ops/alerts/replay");
export const useSilences = () => api.useQuery("get", "/ops/alerts/silences");
export const useSilencePreview = (source: string, category: string) =>
  api.useQuery("get", "/ops/alerts/silences/preview", { params: { query: { source, category } } });
export const useSilence = () => api.useMutation("post", "/ops/alerts/silences");
export const useUnsilence = () => api.useMutation("delete", "/ops/alerts/silences/{silence_id}");
export const useSinks = () => api.useQuery("get", "/ops/alerts/sinks");
export const useTestSink = () => api.useMutation("post", "/ops/alerts/sinks/{sink_id}/test");

export const useSetLimit = () => api.useMutation("put", "/ops/queue/limits");
export const usePause = () => api.useMutation("put", "/ops/queue/pause");
export const useResume = () => api.useMutation("delete", "/ops/queue/pause");
export const usePreviewBulk = () => api.useMutation("post", "/ops/queue/bulk");
export const useRunBulk = () => api.useMutation("post", "/ops/queue/bulk/{bulk_id}/run");
export const useStopBulk = () => api.useMutation("post", "/ops/queue/bulk/{bulk_id}/stop");
export const useCancelItem = () => api.useMutation("post", "/ops/queue/items/{item_id}/cancel");
export const useRetryItem = () => api.useMutation("post", "/ops/queue/items/{item_id}/retry");
export const useReplanItem = () => api.useMutation("post", "/ops/queue/items/{item_id}/replan");
export const useReprioritiseItem = () => api.useMutation("post", "/ops/queue/items/{item_id}/reprioritise");
export const useSnoozeItem = () => api.useMutation("post", "/ops/queue/items/{item_id}/snooze");
export const useReleaseItem = () => api.useMutation("post", "/ops/queue/items/{item_id}/release");

export const useEntries = (asked: LogFilter) =>
  api.useQuery("get", "/ops/evidence/entries", { params: { query: asked } }, { placeholderData: keepPreviousData });
export const useEntry = (index: number) =>
  api.useQuery("get", "/ops/evidence/entries/{index}", { params: { path: { index } } });
export const useHead = () => api.useQuery("get", "/ops/evidence/head");
export const useLogKeys = () => api.useQuery("get", "/ops/evidence/keys");

export const useTokens = () => api.useQuery("get", "/ops/tokens");
export const useRevokeToken = () => api.useMutation("post", "/ops/tokens/{token_id}/revoke");
