# Gives random bytes to what reads a worker's: the decoder, and a session over HTTP/2.
#
#     mix run tests/fuzz/fuzz.exs            # MINUTES=1 of the environment, SEED=
#
# Inputs are made of those in `corpus/`, the Python side's included. Found is what raises, takes longer
# than five seconds, or comes back as something else than a value or a `Vllm.Error`; it is written into
# the corpus, so that the tests fail with it.

Code.require_file("../elixir/support/cuts.ex", __DIR__)
Code.require_file("../elixir/support/fuzzed.ex", __DIR__)

minutes = System.get_env("MINUTES", "1") |> Float.parse() |> elem(0)
seed = System.get_env("SEED", "#{System.os_time(:second)}") |> String.to_integer()
IO.puts("seed #{seed}")
targets = [codec: &Vllm.Fuzzed.codec/1, client: &Vllm.Fuzzed.session/1]
share = round(minutes * 60_000 / length(targets))

failed =
  for {name, target} <- targets do
    seeds = name |> Vllm.Fuzzed.corpus() |> List.to_tuple()
    ends = System.monotonic_time(:millisecond) + share
    {count, failed} = Vllm.Fuzzed.run(name, target, seeds, :rand.seed_s(:exsss, seed), ends)

    IO.puts(
      "#{name}: #{count} executions in #{Float.round(share / 60_000, 1)} minutes, #{failed} failed"
    )

    failed
  end

if Enum.sum(failed) > 0, do: exit({:shutdown, 1})
