defmodule Vllm.Core.Worker.Loading do
  @moduledoc false
  # Shows how far the loading of an engine has come, while a shell waits for it.
  #
  # VLLM tells that only in its log, which the worker's process has. So a process looks there now and
  # then for the last step that the log names, and draws a bar. If several engines of a worker load at
  # once, their lines cannot be told apart, and the bar shows the furthest step.

  alias Vllm.Core.Telemetry.Progress
  alias Vllm.Core.Worker.Explanation

  # What a line contains, how far that is, and the step that it begins. In vLLM's order. The first
  # three take most of the time on a CPU, the weights on a GPU.
  @steps [
    {"", 0, "importing vLLM"},
    {"(MainProcess pid=", 4, "starting vLLM's process"},
    {"Initializing a V1 LLM engine", 8, "preparing the model"},
    {"Starting to load model", 10, "loading the weights"},
    {"Loading weights took", 14, "making the KV cache"},
    {"KV cache size", 16, "warming up"},
    {"Capturing CUDA graphs", 17, "capturing CUDA graphs"},
    {"init engine", 19, "connecting"}
  ]

  @width 20

  @builders %{
    "AsyncLLM" => ["from_engine_args", "from_vllm_config"],
    "LLM" => ["new", "from_engine_args"]
  }

  # Milliseconds between two looks at the log.
  @interval 200

  @doc "Runs a call. If it builds an engine and a shell waits for it, a bar shows the progress."
  @spec shown({atom(), node()}, String.t(), String.t(), Explanation.mark(), (() -> result)) ::
          result
        when result: var
  def shown(instance, class, method, mark, fun) do
    if method in Map.get(@builders, class, []) and Progress.terminal?(),
      do: with_bar(instance, class, mark, fun),
      else: fun.()
  end

  defp with_bar(instance, class, mark, fun) do
    shell = self()
    leader = Process.group_leader()
    began = System.monotonic_time(:millisecond)

    # It ends with the shell's process, too: Ctrl-C kills that.
    drawer =
      spawn(fn ->
        Process.group_leader(self(), leader)
        monitor = Process.monitor(shell)
        draw(%{instance: instance, class: class, mark: mark, began: began, monitor: monitor})
      end)

    try do
      fun.()
    after
      stop(drawer)
    end
  end

  # Waits until the line is finished, because the shell writes next.
  defp stop(drawer) do
    monitor = Process.monitor(drawer)
    send(drawer, :stop)

    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
    end
  end

  defp draw(%{monitor: monitor} = state) do
    receive do
      :stop -> IO.write("\r\e[K")
      {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
    after
      @interval ->
        {filled, text} = step(Explanation.lines_since(state.instance, state.mark))
        IO.write(["\r", bar(state.class <> ":", filled, text, state.began), "\e[K"])
        draw(state)
    end
  end

  @doc "How far the lines of a log say that an engine has come, of #{@width}, and the step in words."
  @spec step([String.t()]) :: {non_neg_integer(), String.t()}
  def step(lines) do
    {_mark, filled, text} =
      @steps
      |> Enum.reverse()
      |> Enum.find(fn {mark, _filled, _text} -> mark == "" or said?(lines, mark) end)

    {filled, text}
  end

  defp said?(lines, mark), do: Enum.any?(lines, &String.contains?(&1, mark))

  @doc "The line for a terminal."
  @spec bar(String.t(), non_neg_integer(), String.t(), integer()) :: String.t()
  def bar(title, filled, text, began) do
    bar = String.duplicate("#", filled) <> String.duplicate(".", @width - filled)
    seconds = (System.monotonic_time(:millisecond) - began) / 1000
    "#{title} [#{bar}] #{text} (#{:erlang.float_to_binary(seconds, decimals: 1)} s)"
  end
end
