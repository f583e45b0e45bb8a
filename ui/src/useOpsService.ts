/** What the screens ask of the server: thin names over the generated client, no state of their own. */
import { api } from "./api/client";
import type { Draft, PipelineRun, Run } from "./types";

export const useMe = () => api.useQuery("get", "/ops/me");
export const usePanic = () => api.useQuery("get", "/ops/panic");
export const useDefaults = () => api.useQuery("get", "/ops/defaults");

export const useDrafts = (status: Draft["status"]) =>
  api.useQuery("get", "/ops/drafts", { params: { query: { status } } });
export const useDraft = (id: string) =>
  api.useQuery("get", "/ops/drafts/{draft_id}", { params: { path: { draft_id: id } } });
export const useApprove = () => api.useMutation("post", "/ops/drafts/{draft_id}/approve");
export const useReject = () => api.useMutation("post", "/ops/drafts/{draft_id}/reject");

export const useRuns = (status?: Run["status"]) =>
  api.useQuery("get", "/ops/runs", { params: { query: status ? { status } : {} } });
export const useRun = (id: string) => api.useQuery("get", "/ops/runs/{run_id}", { params: { path: { run_id: id } } });
export const useCancelRun = () => api.useMutation("post", "/ops/runs/{run_id}/cancel");
export const useRetryRun = () => api.useMutation("post", "/ops/runs/{run_id}/retry");

export const usePipelines = () => api.useQuery("get", "/ops/pipelines");
export const usePipeline = (name: string) =>
  api.useQuery("get", "/ops/pipelines/{name}", { params: { path: { name } } });
export const useAcceptPipeline = () => api.useMutation("post", "/ops/pipelines/{name}/accept");
export const usePipelineRuns = (status?: PipelineRun["status"]) =>
  api.useQuery("get", "/ops/pipeline-runs", { params: { query: status ? { status } : {} } });
export const usePipelineRun = (id: string) =>
  api.useQuery("get", "/ops/pipeline-runs/{pipeline_id}", { params: { path: { pipeline_id: id } } });
