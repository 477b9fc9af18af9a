// uPlot as an ES module.
export { default } from "uplot";
