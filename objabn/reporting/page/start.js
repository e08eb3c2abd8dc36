// Everything put together.

const themeListeners = [];
function onTheme(listener) {
  themeListeners.push(listener);
}

function followTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = section("theme");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const tell = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    themeListeners.forEach((listener) => listener());
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  system.addEventListener("change", tell);
  tell();
}

const report = JSON.parse(section("data").textContent);
showHead(report);
showResults(report);
showGallery(report);
showClasses(report);
showHistograms(report);
showTraining(report);
showSettings(report);
followTheme();
