import { fireEvent, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { expect, test } from "vitest";
import { shown } from "../testing";
import { Verb } from "./Verb";

const done: string[] = [];
function One({ asksReason = false }: { asksReason?: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <Verb
      verb="Approve"
      about="You agree."
      asksReason={asksReason}
      command={() => "interlock"}
      open={open}
      onOpen={setOpen}
      busy={false}
      failure={undefined}
      onDo={(reason) => done.push(reason)}
    />
  );
}
const button = () => screen.getByRole("button", { name: "Approve" });

test("a key that is held down opens the question, and does not answer it", async () => {
  done.length = 0;
  shown(<One />);
  button().focus();
  await userEvent.keyboard("{Enter>4/}");
  expect(screen.getByText("You agree.")).toBeVisible();
  expect(done).toEqual([]);
  await userEvent.keyboard("{Enter}");
  expect(done).toEqual([""]);
});

test("a key that is held down gives no empty reason", async () => {
  done.length = 0;
  shown(<One asksReason />);
  button().focus();
  await userEvent.keyboard("{Enter>4/}");
  expect(screen.getByRole("textbox", { name: "Reason" })).toHaveFocus();
  expect(done).toEqual([]);
});

test("a double click opens the question, and does not answer it", async () => {
  done.length = 0;
  shown(<One />);
  fireEvent.click(button(), { detail: 1 });
  fireEvent.click(button(), { detail: 2 }); // the browser counts clicks on one spot, whatever stands there
  expect(screen.getByText("You agree.")).toBeVisible();
  expect(done).toEqual([]);
  fireEvent.click(button(), { detail: 1 });
  expect(done).toEqual([""]);
});
