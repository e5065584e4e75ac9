# The lanes: `unit` needs nothing, `bridge` a Python interpreter with the worker's requirements (no
# vLLM), `vllm` vLLM itself. What this machine cannot do is left out, and said so.

interpreter = Vllm.Environment.python()

unless match?({:ok, _}, interpreter) do
  {:error, error} = interpreter
  IO.puts("Leaving out the lanes bridge and vllm: #{error.message}")
end

excluded = if match?({:ok, _}, interpreter), do: [], else: [:bridge, :vllm]

# The worker's own log, which tests ask for at this level.
Logger.configure(level: :info)

# A test that needs longer says so with @tag timeout:
ExUnit.start(
  capture_log: true,
  exclude: excluded,
  timeout: 120_000,
  # The machine may be busy. What comes at once does not wait for this.
  assert_receive_timeout: 60_000
)

Vllm.Recap.begin()
