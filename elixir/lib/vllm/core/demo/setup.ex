defmodule Vllm.Core.Demo.Setup do
  @moduledoc false
  # What the demo needs before its first scene: the models, a worker, and the engines, which load at
  # once while the screen shows how far each has come.

  alias Vllm.{AsyncLLM, Call, Error, SmallModel, TinyModel}
  alias Vllm.Core.Demo.Screen
  alias Vllm.Core.Worker.{Explanation, Loading}

  # For a machine without a GPU, unless the user has said otherwise: a small cache, no compiling at the
  # first request, and no binding of all engines to the first core.
  @environment %{
    "VLLM_CPU_KVCACHE_SPACE" => "1",
    # One thread is enough for a small model, and on a busy machine several wait for each other.
    "OMP_NUM_THREADS" => "1",
    "TORCHDYNAMO_DISABLE" => "1",
    "VLLM_CPU_OMP_THREADS_BIND" => "nobind",
    "HF_HUB_OFFLINE" => "1",
    "VLLM_NO_USAGE_STATS" => "1"
  }

  # The model runs in the engine's own process: it starts in half the time.
  @arguments [
    enforce_eager: true,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  ]

  @type models :: %{kind: :chat | :scripted, chat: Path.t(), embed: Path.t() | nil}

  @doc "Sets what the worker inherits."
  @spec put_environment() :: :ok
  def put_environment do
    for {name, value} <- @environment,
        System.get_env(name) == nil,
        do: System.put_env(name, value)

    :ok
  end

  @doc "Makes the models that are not in the cache. Without a network there are scripted ones."
  @spec models() :: models()
  def models do
    progress = [progress: &Screen.remark/1]

    case SmallModel.path(:chat, progress) do
      {:ok, chat} ->
        %{kind: :chat, chat: chat, embed: found(SmallModel.path(:embed, progress))}

      {:error, error} ->
        found({:error, error})
        Screen.say("The demo goes on with a scripted model, whose words are known in advance.")
        {:ok, scripted} = TinyModel.make(:scripted)
        %{kind: :scripted, chat: scripted, embed: nil}
    end
  end

  @doc """
  Makes the adapter for a model, unless it is in the cache, and returns its name and its folder. The one
  for the model that speaks is trained, so that is left for when something has been shown.
  """
  @spec adapter(:chat | :scripted) :: {:ok, {String.t(), Path.t()}} | {:error, Error.t()}
  def adapter(:chat), do: named("pirate", SmallModel.path(:pirate, progress: &Screen.remark/1))
  def adapter(:scripted), do: named("meow", TinyModel.adapter(:meow))

  defp named(name, result), do: with({:ok, path} <- result, do: {:ok, {name, path}})

  defp found({:ok, path}), do: path

  defp found({:error, error}) do
    Screen.say(error.message)
    nil
  end

  @doc "The arguments of the engines, by their names."
  @spec engines(models()) :: keyword(keyword())
  def engines(models) do
    chat = [model: models.chat, max_model_len: 512, enable_lora: true, max_lora_rank: 8]
    # The words of the scripted model are exact only in this type.
    chat = if models.kind == :scripted, do: [dtype: "float32"] ++ chat, else: chat
    embed = [model: models.embed, runner: "pooling", max_model_len: 128]
    engines = if models.embed, do: [chat: chat, embed: embed], else: [chat: chat]
    for {name, arguments} <- engines, do: {name, arguments ++ @arguments}
  end

  @doc "Loads engines at once, and shows how far they have come. Returns them by their names."
  @spec load(atom(), keyword(keyword())) :: {:ok, %{atom() => Vllm.Ref.t()}} | {:error, Error.t()}
  def load(instance, engines) do
    place = {instance, node()}
    mark = Explanation.mark(place)

    # What vLLM imports in the worker itself is imported once, before two of them want it.
    {:ok, _status} = Call.invoke_class("Worker", "status", 0, [place])

    state = %{
      place: place,
      mark: mark,
      began: Screen.now(),
      drawn: 0,
      engines: engines,
      tasks:
        for {name, arguments} <- engines do
          {name, Task.async(fn -> AsyncLLM.from_engine_args(instance, arguments) end)}
        end
    }

    wait(state, %{})
  end

  defp wait(%{tasks: []} = _state, loaded) do
    case for {_name, {{:error, error}, _seconds}} <- loaded, do: error do
      [] -> {:ok, Map.new(loaded, fn {name, {{:ok, ref}, _seconds}} -> {name, ref} end)}
      [error | _] -> {:error, error}
    end
  end

  defp wait(state, loaded) do
    {done, tasks} =
      state.tasks
      |> Enum.map(fn {name, task} -> {name, task, Task.yield(task, Screen.pause())} end)
      |> Enum.split_with(fn {_name, _task, answer} -> answer != nil end)

    seconds = Screen.since(state.began)
    now = Map.new(done, fn {name, _task, {:ok, result}} -> {name, {result, seconds}} end)
    loaded = Map.merge(loaded, now)
    state = %{state | tasks: for({name, task, nil} <- tasks, do: {name, task})}
    wait(draw(state, now, loaded), loaded)
  end

  defp draw(state, now, loaded) do
    if Screen.terminal?() do
      lines = Enum.map(state.engines, &line(&1, state, loaded))
      %{state | drawn: Screen.redraw(lines, state.drawn)}
    else
      for {name, {_result, seconds}} <- now, do: Screen.lines([ready(name, seconds)])
      state
    end
  end

  defp line({name, arguments}, state, loaded) do
    case loaded do
      %{^name => {{:ok, _ref}, seconds}} ->
        ready(name, seconds)

      %{^name => {{:error, _error}, seconds}} ->
        "#{label(name)} failed after #{Screen.decimal(seconds)} s"

      %{} ->
        lines = state.place |> Explanation.lines_since(state.mark) |> of_model(arguments[:model])
        {filled, text} = Loading.step(lines)
        Loading.bar(label(name), filled, text, state.began)
    end
  end

  defp ready(name, seconds), do: "#{label(name)} ready after #{Screen.decimal(seconds)} s"

  defp label(name), do: name |> Atom.to_string() |> Kernel.<>(":") |> String.pad_trailing(6)

  # The lines of the process that says that it loads this model; before there is one, those of the worker.
  defp of_model(lines, model) do
    process = Enum.find_value(lines, &(String.contains?(&1, model) && process(&1)))
    Enum.filter(lines, &String.contains?(&1, process || "(MainProcess pid="))
  end

  defp process(line) do
    with [process] <- Regex.run(~r/\(EngineCore\S* pid=\d+\)/, line), do: process
  end
end
