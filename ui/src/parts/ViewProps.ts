import type { Me } from "../types";

/** What an address names after its screen, such as `r_…`, and who looks. */
export interface ViewProps {
  id: string | undefined;
  me: Me;
}
