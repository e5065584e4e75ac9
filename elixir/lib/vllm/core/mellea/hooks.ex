defmodule Vllm.Core.Mellea.Hooks do
  @moduledoc false
  # The hooks of a call, functions of the caller's: what they are told, and what they return.

  alias Vllm.Core.Mellea.Wire
  alias Vllm.Error
  alias Vllm.Mellea.{Message, ToolCall}

  # Mellea's names. Those before a generation may change the call, the others see the result.
  @before [:generation_pre_call, :generation_batch_pre_call]
  @names @before ++ [:generation_post_call, :generation_batch_post_call]

  @writable [:model_options, :format, :tool_calls]

  # Of what hooks are told, by the worker's names.
  @keys Map.new(
          [:generation_id, :model, :provider, :messages, :prompts, :num_actions, :latency_ms] ++
            [:outputs, :value, :usage, :finish_reasons | @writable],
          &{Atom.to_string(&1), &1}
        )

  @type outcome :: {:ok, term()} | {:error, :timeout | String.t()}

  @doc "Checks the hooks of a call: a keyword list of functions of one argument."
  @spec check(term()) :: :ok | {:error, Error.t()}
  def check(hooks) do
    sound? = fn {name, hook} -> name in @names and is_function(hook, 1) end

    if Keyword.keyword?(hooks) and Enum.all?(hooks, sound?) do
      :ok
    else
      names = Enum.map_join(@names, ", ", &inspect/1)
      invalid("hooks: wants functions of one argument by their names, which are #{names}")
    end
  end

  @doc "The names of hooks as the worker takes them."
  @spec names(keyword()) :: [String.t()]
  def names(hooks), do: hooks |> Keyword.keys() |> Enum.uniq() |> Enum.map(&Atom.to_string/1)

  @doc "The name of a hook that the worker asks for, and what runs it."
  @spec run(keyword(), String.t(), map()) :: {atom(), (() -> term())}
  def run(hooks, name, payload) do
    hook = Enum.find(@names, &(Atom.to_string(&1) == name))
    {hook, fn -> Keyword.fetch!(hooks, hook).(payload |> told() |> Map.put(:hook, hook)) end}
  end

  defp told(payload) do
    for {name, value} <- payload, key = @keys[name], into: %{}, do: {key, told(key, value)}
  end

  defp told(:messages, messages),
    do: Enum.map(messages, &%Message{role: &1["role"], content: &1["content"]})

  defp told(:outputs, outputs), do: Enum.map(outputs, &told/1)

  defp told(:tool_calls, calls) when is_list(calls),
    do: Enum.map(calls, &%ToolCall{name: &1["name"], args: &1["args"]})

  defp told(_key, value), do: value

  @doc "What a hook that has run changes, for the worker. An error ends the call."
  @spec changes([outcome()], atom()) :: {:ok, map()} | {:error, Error.t()}
  def changes([{:ok, {:block, reason}}], hook) do
    text = if is_binary(reason), do: reason, else: shown(reason)
    details = %{"hook" => Atom.to_string(hook), "reason" => text}
    {:error, Error.new(:cancelled, "#{hook} blocked the call: #{text}", details: details)}
  end

  def changes([{:ok, :ok}], hook) when hook in @before, do: {:ok, %{}}

  def changes([{:ok, {:modify, changes}}], hook) when hook in @before do
    if writable?(changes),
      do: changes |> Map.new() |> to_wire(),
      else: wrong({:modify, changes}, hook)
  end

  def changes([{:ok, other}], hook) when hook in @before, do: wrong(other, hook)
  # What a hook returns that sees the result has no effect, unless it blocks.
  def changes([{:ok, _other}], _hook), do: {:ok, %{}}

  def changes([{:error, :timeout}], hook) do
    {:error, Error.new(:timeout, "#{hook} took too long; give it more time with hook_timeout")}
  end

  def changes([{:error, reason}], hook), do: invalid("#{hook} failed: #{reason}")

  defp writable?(changes) when is_map(changes) and not is_struct(changes),
    do: Enum.all?(Map.keys(changes), &(&1 in @writable))

  defp writable?(changes),
    do: Keyword.keyword?(changes) and Enum.all?(Keyword.keys(changes), &(&1 in @writable))

  defp to_wire(%{model_options: options} = changes) do
    with {:ok, options} <- Wire.options(options),
         {:ok, others} <- changes |> Map.delete(:model_options) |> to_wire(),
         do: {:ok, Map.put(others, :model_options, options)}
  end

  defp to_wire(%{format: format} = changes), do: {:ok, %{changes | format: Wire.format(format)}}
  defp to_wire(changes), do: {:ok, changes}

  defp wrong(other, hook) do
    invalid(
      "#{hook} returned #{shown(other)}; it returns :ok, {:block, reason}, or {:modify, changes} " <>
        "with changes of #{Enum.map_join(@writable, ", ", &inspect/1)}"
    )
  end

  defp shown(value), do: inspect(value, limit: 5, printable_limit: 100)

  defp invalid(message),
    do: {:error, Error.new(:invalid, message, details: %{"parameter" => "hooks"})}
end
