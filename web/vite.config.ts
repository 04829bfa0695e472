import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The sidecar replaces the nonce in every answer.
export const NONCE = "__NONCE__";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  html: { cspNonce: NONCE },
  server: { proxy: { "/api": { target: process.env.STREAMFLOW_URL ?? "http://127.0.0.1:8484", ws: true } } },
  build: {
    outDir: "../streamflow/web",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    manifest: true,
    target: "es2022",
  },
  test: { include: ["src/**/*.test.ts"], isolate: false },
});
