// Sets the theme before the first paint; a plain script on purpose.
(function () {
  try {
    const chosen = localStorage.getItem("crawlkit.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch { /* storage may be closed to us: the system's theme holds */ }
})();
