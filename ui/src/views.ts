/** Every screen: where it is, what it is called, and the file that is loaded when somebody goes there. */
import { type ComponentType, lazy } from "react";
import type { ViewProps } from "./parts/ViewProps";

export interface View {
  href: string;
  name: string;
  Screen: ComponentType<ViewProps>;
}

function view(href: string, name: string, load: () => Promise<{ default: ComponentType<ViewProps> }>): View {
  return { href, name, Screen: lazy(load) };
}

export const OPS: readonly View[] = [
  view("/inbox", "Inbox", () => import("./rooms/inbox/InboxView")),
  view("/factory", "Prompt Factory", () => import("./rooms/approval/PromptFactory")),
  view("/review", "Review", () => import("./rooms/approval/ReviewPanel")),
  view("/approved", "Approved", () => import("./rooms/approval/ApprovedView")),
  view("/runs", "Runs", () => import("./rooms/runs/RunsView")),
  view("/queue", "Queue", () => import("./rooms/queue/QueueView")),
  view("/loops", "Loops", () => import("./rooms/loops/LoopsView")),
  view("/pipelines", "Pipelines", () => import("./rooms/pipelines/PipelinesView")),
  view("/deployments", "Deployments", () => import("./rooms/pipelines/DeploymentsView")),
  view("/evidence", "Evidence", () => import("./rooms/evidence/EvidenceView")),
  view("/alerts", "Alerts", () => import("./rooms/alerts/AlertsView")),
];

export const MAINTENANCE: readonly View[] = [
  view("/maintenance", "Status", () => import("./rooms/maintenance/MaintenanceView")),
  view("/nodes", "Nodes", () => import("./rooms/nodes/NodesView")),
  view("/provider", "Provider", () => import("./rooms/providers/ProviderView")),
  view("/access", "Access", () => import("./rooms/access/AccessView")),
  view("/audit", "Audit", () => import("./rooms/access/AuditView")),
];
