// Before anything is drawn, so that a page in dark colours does not begin in light ones. No module: modules wait.
"use strict";
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") {
    document.documentElement.dataset.theme = chosen;
  }
} catch {
  // A browser that keeps nothing has chosen nothing.
}
