defmodule Vllm.Core.Mellea.Asking do
  @moduledoc false
  # Calls in which the worker asks back: validators and hooks are functions of the caller's. Such a call
  # is a stream. Each item is a question, which is answered by a call, or the result, which is the last.

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.Chat.FunctionRuns
  alias Vllm.Core.Mellea.{Hooks, Verdicts}

  @doc """
  Makes a call, runs the functions that it asks for, each in a process beside the caller's, and returns
  its result.

  `settings` has `rpc`, `hooks` and `hook_timeout`, and `validator_timeout` where there are requirements.
  """
  @spec call(Ref.t(), String.t(), [term()], keyword(), [term()], map()) ::
          {:ok, term()} | {:error, Error.t()}
  def call(target, method, given, arguments, requirements, settings) do
    with {:ok, stream} <- Call.invoke(target, method, given, arguments, rpc: settings.rpc),
         do: listen(stream, target, requirements, settings)
  end

  defp listen(stream, target, requirements, settings) do
    Enum.reduce_while(stream, no_result(), fn
      %{"result" => result}, _none ->
        {:halt, {:ok, result}}

      question, none ->
        case answer(question, target, requirements, settings) do
          {:ok, nil} -> {:cont, none}
          # Halting the stream ends the text.
          {:error, error} -> {:halt, {:error, error}}
        end
    end)
  rescue
    error in Error -> {:error, error}
  end

  defp no_result, do: {:error, Error.new(:protocol, "the worker sent no result")}

  defp answer(%{"hook" => name, "payload" => payload} = question, target, _required, settings) do
    {hook, run} = Hooks.run(settings.hooks, name, payload)

    with {:ok, changes} <-
           [run] |> FunctionRuns.run(settings.hook_timeout) |> Hooks.changes(hook),
         do: Call.invoke(target, "answer_hook", [question["question"], changes], [], [])
  end

  defp answer(%{"requirement" => index} = question, target, requirements, settings) do
    run = Verdicts.run(requirements, index, question["text"])

    with {:ok, {result, named}} <-
           [run] |> FunctionRuns.run(settings.validator_timeout) |> Verdicts.verdict(index),
         do: Call.invoke(target, "answer", [question["question"], result], named, [])
  end
end
