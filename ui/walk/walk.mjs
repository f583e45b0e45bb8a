/**
 * Walk through the console as a person would, against a real server, and keep pictures of it:
 *
 *   INTERLOCK_ADDRESS=http://127.0.0.1:9325 INTERLOCK_TOKEN_FILE=token npm run walk
 *
 * It fails on whatever the page's policy refuses, on errors in the page's console and on what axe finds.
 */
import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright";

const address = process.env.INTERLOCK_ADDRESS ?? "http://127.0.0.1:9325";
const token = readFileSync(process.env.INTERLOCK_TOKEN_FILE ?? "token", "utf8").trim();
const decides = process.env.INTERLOCK_DECIDE === "1";
const shots = new URL("shots/", import.meta.url).pathname;
const axe = createRequire(import.meta.url).resolve("axe-core");
const wrong = [];
mkdirSync(shots, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking"],
});

async function seen(page, name) {
  await page.evaluate(readFileSync(axe, "utf8"));
  const found = await page.evaluate(() =>
    globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }),
  );
  for (const each of found.violations) {
    wrong.push(`${name}: ${each.id}: ${each.nodes.map((node) => `${node.target} ${node.any.map((a) => a.message)}`).join(" | ")}`);
  }
  await page.screenshot({ path: `${shots}${name}.png` });
}

async function opened(page, list, detail) {
  await page.getByRole("list", { name: list }).getByRole("link").first().click();
  await page.getByRole("article", { name: detail }).waitFor();
}

async function walk(name, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (line) => {
    if (line.type() === "error" && !line.text().includes("401")) wrong.push(`${name}: ${line.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`${name}: ${error.message}`));

  await page.goto(address);
  await page.getByLabel("Token").waitFor();
  await seen(page, `${name}-1-login`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Review" }).waitFor();
  await page.getByRole("list", { name: "Drafts" }).getByRole("link").first().waitFor();
  await seen(page, `${name}-2-review`);
  const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie]));
  if (kept.includes(token)) wrong.push(`${name}: the token is kept`);

  await page.keyboard.press("j");
  await page.getByRole("article", { name: "Draft" }).waitFor();
  await page.waitForURL(/review\/d_/);
  await seen(page, `${name}-3-draft`);
  await page.keyboard.press("a");
  await page.getByRole("form", { name: "Approve" }).waitFor();
  await seen(page, `${name}-4-approve`);
  if (decides) {
    await page.keyboard.press("Enter");
    await page.getByRole("article").getByText("approved", { exact: true }).waitFor();
  } else await page.keyboard.press("Escape");

  await page.getByRole("link", { name: "Runs", exact: true }).click();
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await seen(page, `${name}-5-runs`);
  await page.goto(`${address}/runs?status=done`);
  await opened(page, "Runs", "Run");
  await page.getByRole("list", { name: "Log lines" }).waitFor();
  await seen(page, `${name}-6-run`);

  await page.goto(`${address}/pipelines`);
  await opened(page, "Pipelines", "Definition");
  await seen(page, `${name}-7-definition`);
  await page.goto(`${address}/pipelines`);
  await page.getByRole("list", { name: "Pipelines" }).getByRole("link").last().click();
  await page.getByRole("article", { name: "Pipeline run" }).waitFor();
  await seen(page, `${name}-8-pipeline-run`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) wrong.push(`${name}: the page is ${wide} px wider than the screen`);
  await context.close();
}

const desk = { width: 1280, height: 860 };
await walk("dark", { viewport: desk, colorScheme: "dark" });
await walk("light", { viewport: desk, colorScheme: "light", reducedMotion: "reduce" });
await walk("phone", { viewport: { width: 390, height: 780 }, colorScheme: "dark", hasTouch: true, isMobile: true });
await browser.close();
for (const each of wrong) console.error(each);
console.log(wrong.length === 0 ? `walked; pictures in ${shots}` : `${wrong.length} things are wrong`);
process.exitCode = wrong.length === 0 ? 0 : 1;
