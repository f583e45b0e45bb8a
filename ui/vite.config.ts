import react from "@vitejs/plugin-react";
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
  server: { proxy: { "/ops": server, "/status": server } },
  test: {
    environment: "jsdom",
    environmentOptions: { jsdom: { url: "http://console.test/" } },
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    coverage: { provider: "v8", include: ["src/**"], exclude: ["src/api/schema.gen.ts", "src/main.tsx", "src/testing.tsx", "src/types.ts"] },
  },
});
