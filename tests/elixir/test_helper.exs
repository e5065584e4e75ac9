# The lanes: `unit` needs nothing, `bridge` a Python interpreter with the worker's requirements (no
# vLLM), `vllm` vLLM itself. Lanes that this machine cannot run are left out, with a message.

interpreter = Vllm.Environment.python()

unless match?({:ok, _}, interpreter) do
  {:error, error} = interpreter
  IO.puts("The lanes bridge and vllm are left out: #{error.message}")
end

excluded = if match?({:ok, _}, interpreter), do: [], else: [:bridge, :vllm]

# `make test-interop` builds the server in Go, and says where.
excluded = if System.get_env("VLLM_BRIDGE_INTEROP"), do: excluded, else: [:interop | excluded]

# `make test-faults` says so. What a fault needs and this machine lacks is said for each test.
excluded = if System.get_env("VLLM_BRIDGE_FAULTS"), do: excluded, else: [:faults | excluded]

# The worker's own log, which tests ask for at this level.
Logger.configure(level: :info)

# A test that needs longer says so with @tag timeout:
ExUnit.start(
  capture_log: true,
  exclude: excluded,
  timeout: 120_000,
  # Long, because the machine may be busy. A message that arrives ends the wait.
  assert_receive_timeout: 60_000
)

Vllm.Recap.begin()

# Empty where no test made a fault.
ExUnit.after_suite(fn _result -> IO.write(Vllm.Faults.Report.text()) end)
