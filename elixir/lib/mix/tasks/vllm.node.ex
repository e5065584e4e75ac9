defmodule Mix.Tasks.Vllm.Node do
  @shortdoc "Runs cores of an engine whose head is on another host"

  @moduledoc """
  Runs cores of an engine whose head is a worker on another host.

      mix vllm.node MODEL --head HOST:PORT [options] [options of the engine]

  The task waits for the head, runs the cores, and waits again when the head has gone. Its output
  says what it waits for. It ends with the BEAM, and with it every process of the cores.

    * `--head` - where the head is: its `data_parallel_address` and `data_parallel_rpc_port`; with
      `--nnodes` its `master_addr` and `master_port`
    * `--start-rank` - with data parallelism, the rank of the first core here. The default is 0, for a
      head without cores.
    * `--local-size` - with data parallelism, how many cores run here. The default is 1.
    * `--config` - a TOML, YAML or JSON file of engine arguments
    * `--python` - the interpreter, like the option of an instance

  Every other option is one of the engine, as `vllm serve` has it. Give the same as the head has.
  `mix vllm.node --help` lists the rest. The guide [Several hosts](several_hosts.md) has examples.

  On a host without Elixir the command is `python -m python_worker.node` with the same options.

  ## Exit status

    * `0` - it was told to stop
    * `1` - processes had to be killed at the end
    * `2` - options that cannot be, or an engine that cannot be configured
  """

  use Mix.Task

  alias Vllm.Environment

  @requirements ["app.config"]

  @impl true
  def run(arguments) do
    {python, arguments} = take_python(arguments)

    with {:ok, python} <- Environment.python(python),
         {:ok, sources} <- Environment.worker_dir() do
      case run_node(python, sources, arguments) do
        0 -> :ok
        status -> exit({:shutdown, status})
      end
    else
      {:error, error} -> Mix.raise(Exception.message(error))
    end
  end

  # Its standard input is a pipe that ends with this process, however that ends.
  defp run_node(python, sources, arguments) do
    {_output, status} =
      System.cmd(python, ["-m", "python_worker.node" | arguments] ++ ["--lifeline", "stdin"],
        env: environment(sources),
        into: IO.stream(),
        stderr_to_stdout: true
      )

    status
  end

  # As a worker has them: see `Vllm.Core.Worker.Launch`.
  defp environment(sources) do
    path = Enum.join([sources | List.wrap(System.get_env("PYTHONPATH"))], ":")
    [{"PYTHONPATH", path}, {"PYTHONSAFEPATH", "1"}, {"PYTHONUNBUFFERED", "1"}]
  end

  # All other options are for Python, which knows those of the engine.
  defp take_python(["--python", path | rest]), do: {path, rest}
  defp take_python(["--python=" <> path | rest]), do: {path, rest}
  defp take_python([]), do: {nil, []}

  defp take_python([argument | rest]) do
    {python, rest} = take_python(rest)
    {python, [argument | rest]}
  end
end
