import react from "@vitejs/plugin-react";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";

const server = process.env.INTERLOCK_ADDRESS ?? "http://127.0.0.1:9325";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../src/interlock/web/assets",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the server's policy knows no data: in scripts and styles
    reportCompressedSize: true,
  },
  // found before the first test runs: one that is found later reloads the page, with two Reacts in it
  optimizeDeps: { include: ["@tanstack/react-table", "@tanstack/react-virtual", "uplot"] },
  server: { host: "127.0.0.1", proxy: { "/ops": server, "/ui": server } },
  test: {
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({
        launchOptions: {
          executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
          // a browser in a test asks nobody outside; a container's root has no sandbox of its own to make
          args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        },
      }),
      instances: [{ browser: "chromium", viewport: { width: 1280, height: 860 } }],
    },
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/testing.setup.ts"],
    reporters: ["dot"],
    restoreMocks: true,
    coverage: {
      provider: "v8",
      reporter: ["text-summary"],
      include: ["src/**"],
      // a floor a little below what is reached
      thresholds: { lines: 93, statements: 91, functions: 87, branches: 78 },
      exclude: ["src/api/schema.gen.ts", "src/main.tsx", "src/testing*", "src/types.ts", "src/**/*.{css,json}"],
    },
  },
});
