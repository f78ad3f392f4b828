// Before anything is drawn, so that a page in dark colours does not begin in light ones. No module: modules wait.
// Told by the event "themechosen" that another choice was stored, it tells by "themechange" that colours are others.
"use strict";
{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const choice = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      // A browser that keeps nothing has chosen nothing.
      return null;
    }
  };
  const apply = () => {
    const chosen = choice();
    const theme = chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
    dispatchEvent(new Event("themechange"));
  };
  addEventListener("themechosen", apply);
  dark.addEventListener("change", apply);
  apply();
}
