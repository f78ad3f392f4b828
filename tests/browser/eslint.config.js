// What the modules of the page and of its tests are held to. tests/run calls it from the tree's top, so paths begin there.

import js from "@eslint/js";
import globals from "globals";

const PAGE = "crates/api/dashboard/**/*.js";
const TESTS = "tests/browser/**/*.js";

export default [
  // Other people's code.
  { ignores: ["crates/api/dashboard/vendor/"] },
  {
    files: [PAGE, TESTS],
    ...js.configs.recommended,
    linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" },
    rules: {
      ...js.configs.recommended.rules,
      eqeqeq: "error",
      "no-shadow": "error",
      "no-undef": "error",
      "no-unused-vars": "error",
      "prefer-const": "error",
    },
  },
  { files: [PAGE], languageOptions: { globals: globals.browser } },
  // A test runs in Node.js, and what it gives to `page.evaluate` in the page.
  { files: [TESTS], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
];
