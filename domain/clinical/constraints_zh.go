package clinical

// constraintsZH says in Chinese what the constraints of R4 ask for.
var constraintsZH = map[string]string{}
