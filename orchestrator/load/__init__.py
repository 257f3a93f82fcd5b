"""The load test: arrivals at a steady or ramping rate, whether or not those before them have ended (an open loop).

It is a run like others - dispatcher, permits, check-outs, bus and appliances are the product's - with two differences:
its targets become due one after the other, again from the first when they are through (`source`), and what becomes of
them is counted (`recorder`) where a run has its store. So a load test leaves no run behind, and no outcomes; its
permits are in the ledger, since failed logons count whoever has sent them.

An arrival's latency counts from when it was due, not from when it was sent: what a full appliance or a slow vault keeps
waiting shows in every arrival behind it, instead of slowing the test down with it (coordinated omission).
"""
