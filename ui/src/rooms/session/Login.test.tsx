import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { ALICE, network, problem, shown } from "../../testing";
import { Login } from "./Login";

const TOKEN = "ilk_a-secret";

test("a token is sent once, in a header, and kept nowhere", async () => {
  const asked = network({ "POST /ops/session": ALICE });
  const done = vi.fn();
  shown(<Login onDone={done} />);
  await userEvent.type(screen.getByLabelText("Token"), `${TOKEN}{Enter}`);
  await waitFor(() => expect(done).toHaveBeenCalledOnce());
  expect(asked.map((each) => each.headers.get("authorization"))).toEqual([`Bearer ${TOKEN}`]);
  expect(asked[0]?.body).toBeUndefined();
  expect(JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])).not.toContain(TOKEN);
  expect(document.body.innerHTML).not.toContain(TOKEN);
});

test("a refused token is told in the server's words, and the field is empty again", async () => {
  network({ "POST /ops/session": problem(401, "token_invalid", "The token is not valid.") });
  const done = vi.fn();
  shown(<Login onDone={done} />);
  await userEvent.type(screen.getByLabelText("Token"), `${TOKEN}{Enter}`);
  expect((await screen.findByRole("alert")).textContent).toContain("The token is not valid.");
  expect(screen.getByLabelText<HTMLInputElement>("Token").value).toBe("");
  expect(done).not.toHaveBeenCalled();
});

test("a server that does not answer is told from one that refuses", async () => {
  network({ "POST /ops/session": new TypeError("no network") });
  shown(<Login onDone={vi.fn()} />);
  await userEvent.type(screen.getByLabelText("Token"), `${TOKEN}{Enter}`);
  expect((await screen.findByRole("alert")).textContent).toContain("can not be reached");
});
