import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { ALICE, network, problem, ROBOT, shown } from "../../testing";
import type { Providers } from "../../types";
import ProviderView from "./ProviderView";

// biome-ignore lint/suspicious/noTemplateCurlyInString: so the settings name a variable of the environment
const FAR_KEY = "${FAR_KEY}";

const TAG = `"sha256:${"a".repeat(64)}"`;
const OTHER = `"sha256:${"b".repeat(64)}"`;
const entry = (type: string, api_key: string | null) => ({ type, model: `${type}-1`, base_url: null, api_key });
const TWO: Providers = {
  active: "local",
  providers: {
    local: entry("openai_compat", null),
    far: entry("anthropic", FAR_KEY),
    filed: entry("gemini", "***"),
  },
};
const HEALTH = {
  at: "2026-01-01T00:00:00.000Z",
  items: [
    { id: "local", status: "ok", reason: "ok", detail: "answers, and knows the model", latency_ms: 12, active: true },
    { id: "far", status: "down", reason: "offline", detail: "far can not be reached", latency_ms: null, active: false },
  ],
};
const versioned = (body: unknown, etag: string) =>
  new Response(JSON.stringify(body), { headers: { "content-type": "application/json", etag } });

function provider(more: Record<string, unknown> = {}, me = ALICE) {
  const answers: Record<string, unknown> = {
    "GET /ops/provider": versioned(TWO, TAG),
    "GET /ops/provider/health": HEALTH,
    ...more,
  };
  const asked = network(answers);
  return { answers, asked, ...shown(<ProviderView id={undefined} me={me} />) };
}

const card = async (name: string) =>
  within((await screen.findByRole("heading", { name })).closest("li") as HTMLElement);

test("the active one and the others are shown with their health, and no key", async () => {
  const { container } = provider();
  const local = await card("local");
  expect(local.getByText("active")).toBeTruthy();
  expect(await local.findByText("ok")).toBeTruthy();
  const far = await card("far");
  expect(far.getByText("down")).toBeTruthy();
  expect(far.getByText("far can not be reached")).toBeTruthy();
  expect(far.getByText(`from the environment: ${FAR_KEY}`)).toBeTruthy();
  expect((await card("filed")).getByText("in the file, hidden")).toBeTruthy();
  expect((await card("filed")).getByText("not asked")).toBeTruthy();
  expect(container.textContent).not.toContain("***");
  expect(container.querySelector("input[type=password]")).toBeNull();
});

test("how old the answer is stands there, and they can be asked again", async () => {
  const { asked, container } = provider();
  await waitFor(() => expect(container.querySelector("time")?.title).toBe(HEALTH.at));
  const before = asked.filter((each) => each.path === "/ops/provider/health").length;
  await userEvent.click(screen.getByRole("button", { name: "Ask now" }));
  await waitFor(() => expect(asked.filter((each) => each.path === "/ops/provider/health").length).toBe(before + 1));
});

test("a switch names the version that was shown", async () => {
  const { asked } = provider({ "PUT /ops/provider": { ...TWO, active: "far" } });
  const far = await card("far");
  await userEvent.click(far.getByRole("button", { name: "Set active" }));
  expect(far.getByText(`interlock provider set --active far --version ${TAG.replaceAll('"', "")}`)).toBeTruthy();
  await userEvent.click(far.getByRole("button", { name: "Set active" }));
  const sent = await waitFor(() => asked.find((each) => each.method === "PUT") ?? Promise.reject(new Error("not yet")));
  expect(sent.body).toEqual({ active: "far" });
  expect(sent.headers.get("if-match")).toBe(TAG);
});

test("a stale switch is refused and shown, and nothing changes under the eyes", async () => {
  const stale = problem(412, "precondition_failed", "It has changed since you looked.");
  const { answers } = provider({ "PUT /ops/provider": stale });
  const far = await card("far");
  await userEvent.click(far.getByRole("button", { name: "Set active" }));
  answers["GET /ops/provider"] = versioned({ ...TWO, active: "filed" }, OTHER);
  await userEvent.click(far.getByRole("button", { name: "Set active" }));
  expect((await far.findByRole("alert")).textContent).toContain(stale.detail);
  const look = await screen.findByRole("button", { name: "Show them as they are now" });
  expect((await card("local")).getByText("active")).toBeTruthy();
  await userEvent.click(look);
  expect((await card("filed")).getByText("active")).toBeTruthy();
});

test("an agent is not offered the switch, and who is no admin not the list", async () => {
  const { unmount } = provider({}, ROBOT);
  expect((await card("far")).getByText("Only a human switches; you are agent:robot.")).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Set active" })).toBeNull();
  unmount();
  const { asked } = provider({}, { ...ALICE, role: "operator" });
  expect(await screen.findByText("Providers are for admins")).toBeTruthy();
  expect(asked.some((each) => each.path === "/ops/provider")).toBe(false);
});

test("it teaches how one is added, with the key in the environment", async () => {
  provider();
  expect(await screen.findByText(/interlock provider set --name NAME .* --api-key-env/)).toBeTruthy();
});
