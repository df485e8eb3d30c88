"use strict";

const plots = new Map();
for (const plot of JSON.parse(document.getElementById("plots").textContent)) {
  plots.set(plot.key, plot);
}
const darkness = matchMedia("(prefers-color-scheme: dark)");
const printWidth = 660;
let isPrinting = false;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axisColours(theme) {
  return {
    gridcolor: theme.line,
    zerolinecolor: theme.line,
    linecolor: theme.line,
    tickcolor: theme.line,
  };
}

function themeNow() {
  if (isPrinting) {
    return { text: "#1c2126", line: "#d8dce0", back: "#ffffff" };
  }
  return { text: colour("--text"), line: colour("--line"), back: colour("--back") };
}

function layoutOf(plot, width) {
  const theme = themeNow();
  const layout = structuredClone(plot.layout);
  layout.font = { family: "system-ui, sans-serif", size: 12, color: theme.text };
  layout.paper_bgcolor = "rgba(0,0,0,0)";
  layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.hoverlabel = {
    bgcolor: theme.back,
    bordercolor: theme.line,
    font: { color: theme.text },
    namelength: -1,
  };
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(name)) {
      Object.assign(layout[name], axisColours(theme));
    }
  }
  if (width) {
    layout.width = width;
  }
  return layout;
}

function draw(place) {
  const plot = plots.get(place.dataset.plot);
  const width = isPrinting ? printWidth : 0;
  const settings = { responsive: true, displayModeBar: false };
  Plotly.react(place, structuredClone(plot.data), layoutOf(plot, width), settings);
}

function isShown(place) {
  return place.offsetParent !== null;
}

function drawAll() {
  for (const place of document.querySelectorAll("[data-plot]")) {
    if (isShown(place)) {
      draw(place);
    }
  }
}

function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

for (const button of document.querySelectorAll("[data-csv]")) {
  const plot = plots.get(button.dataset.csv);
  button.addEventListener("click", () => {
    download(`${plot.key}.csv`, plot.csv, "text/csv");
  });
}

for (const button of document.querySelectorAll("[data-file]")) {
  const text = button.closest(".listing").querySelector("pre").textContent;
  button.addEventListener("click", () => {
    download(button.dataset.file, text, "text/plain");
  });
}

for (const fold of document.querySelectorAll("details")) {
  fold.addEventListener("toggle", drawAll);
}

darkness.addEventListener("change", drawAll);
addEventListener("beforeprint", () => {
  isPrinting = true;
  drawAll();
});
addEventListener("afterprint", () => {
  isPrinting = false;
  drawAll();
});

drawAll();
