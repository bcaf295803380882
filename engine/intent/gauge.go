package intent

// The series that tell how far intents are met. Labels: intent (id of its
// record), goal (id of the goal), and window of the burn rate.
const (
	metricAttainment = "intent_attainment"
	metricBudget     = "intent_budget_left"
	metricBurn       = "intent_burn_rate"
)
