# How long does the worst request keep the worker's event loop, and a stream of somebody else?
#
#     mix run tests/bench/loop_gaps.exs [--only TEXT] [--rounds N] [--json] [--quick] [--stacks]
#
# A plain Python client asks, because no client of ours would send some of the shapes: see loop_gaps.py.
# Machines that are busy otherwise make gaps of their own; of several rounds the shortest is shown.

Code.require_file("support/bench.exs", __DIR__)

argv = System.argv()
opts = Bench.options(argv, only: :string, stacks: :boolean)
{:ok, python} = Vllm.Environment.python()

given =
  ["--rounds", "#{Bench.rounds(opts, 3)}"] ++
    if(opts.json, do: ["--json"], else: []) ++
    if(opts[:stacks], do: ["--stacks"], else: []) ++
    if(opts[:only], do: ["--only", opts.only], else: [])

{_, 0} = System.cmd(python, ["-m", "tests.bench.loop_gaps" | given], into: IO.stream())
