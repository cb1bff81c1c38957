// How KPIs and objectives stand, in words; the worst first.

export const STATES = { missed: "Missed", at_risk: "At risk", no_data: "No data", met: "On target", none: "No target" };
