import { render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { RelativeTime } from "../parts/RelativeTime";
import { standingOf } from "../rooms/approval/approvedStanding";
import { network } from "../testing";
import { client } from "./client";
import { hear } from "./clock";

const HOUR = 3_600_000;
afterEach(() => {
  hear(new Date().toUTCString());
  vi.unstubAllGlobals();
});

/** An answer of a server whose clock stands so far from this browser's. */
async function answered(off: number) {
  const date = new Date(Date.now() + off).toUTCString();
  network({ "GET /ops/me": new Response("{}", { headers: { date, "content-type": "application/json" } }) });
  await client.GET("/ops/me");
  return new Date(Date.now() + off).toISOString();
}

test("what the server dates as of now is now, however wrong this browser's clock is", async () => {
  const now = await answered(-3 * HOUR);
  render(<RelativeTime at={now} />);
  expect(screen.getByText("just now")).toBeVisible();
});

test("an approval has expired when it has by the server's clock", async () => {
  await answered(-3 * HOUR);
  const expires = (off: number) => ({ revoked_at: null, expires_at: new Date(Date.now() + off).toISOString() });
  expect(standingOf(expires(-2 * HOUR))).toBe("valid");
  expect(standingOf(expires(-4 * HOUR))).toBe("expired");
});

test("an answer without a date, or with one that is none, changes nothing", async () => {
  const now = await answered(-3 * HOUR);
  hear(null);
  hear("soon");
  render(<RelativeTime at={now} />);
  expect(screen.getByText("just now")).toBeVisible();
});
