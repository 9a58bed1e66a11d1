"""From events to multipliers: windows, policy, states. Pure: no clock, no driver."""
