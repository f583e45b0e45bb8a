import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { lazy, Suspense } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Link, useLocation } from "wouter";
import { shown } from "../testing";
import { Broken } from "./Broken";

const Gone = lazy(() => Promise.reject(new TypeError("Failed to fetch dynamically imported module: /assets/a.js")));
function Failing(): never {
  throw new Error("<b>it</b> is odd");
}
function Page({ of: what }: { of: "gone" | "failing" }) {
  const [at] = useLocation();
  return (
    <>
      <Link href="/other">Other</Link>
      <Broken at={at}>
        <Suspense>{at === "/other" ? <p>All is well</p> : what === "gone" ? <Gone /> : <Failing />}</Suspense>
      </Broken>
    </>
  );
}

beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => undefined)); // React tells of it there
afterEach(() => vi.restoreAllMocks());

test("a screen whose file is gone says so, and what to do", async () => {
  shown(<Page of="gone" />);
  expect(await screen.findByRole("heading", { name: "This screen could not be loaded." })).toBeVisible();
  expect(screen.getByText(/another version than this page/)).toBeVisible();
  expect(screen.getByRole("button", { name: "Reload" })).toBeVisible();
});

test("a screen that fails says what with, as text, and the page around it stays", async () => {
  shown(<Page of="failing" />);
  expect(await screen.findByText("Error: <b>it</b> is odd")).toBeVisible();
  expect(screen.getByRole("link", { name: "Other" })).toBeVisible();
});

test("who goes to another screen finds it whole", async () => {
  shown(<Page of="failing" />);
  await userEvent.click(await screen.findByRole("link", { name: "Other" }));
  expect(screen.getByText("All is well")).toBeVisible();
  expect(screen.queryByRole("alert")).toBeNull();
});
