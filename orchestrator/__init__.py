"""Campaigns in, outcomes out: plans, dispatches, paces, collects, reports. Never speaks to a vault or a target."""
