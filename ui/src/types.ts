/** The server's words, as they are generated from docs/openapi.json; none is written by hand. */
import type { components } from "./api/schema.gen";

type Schemas = components["schemas"];
export type Draft = Schemas["DraftShown"];
export type DraftInFull = Schemas["DraftInFull"];
export type Run = Schemas["RunShown"];
export type RunInFull = Schemas["RunInFull"];
export type Step = Schemas["StepShown"];
export type Line = Schemas["LineShown"];
export type Definition = Schemas["DefinitionShown"];
export type DefinitionInFull = Schemas["DefinitionWhole"];
export type PipelineRun = Schemas["RunRow"];
export type PipelineRunInFull = Schemas["RunWhole"];
export type Me = Schemas["Me"];
export type Problem = Schemas["Problem"];
