defmodule Vllm.Core.Mellea.Verdicts do
  @moduledoc false
  # The requirements of a call, and what their validators return.

  alias Vllm.Error
  alias Vllm.Mellea.{Requirement, ValidationResult}

  @type outcome :: {:ok, term()} | {:error, :timeout | String.t()}

  @doc "Checks the requirements of a call."
  @spec check(term()) :: :ok | {:error, Error.t()}
  def check(list) when length(list) >= 0 do
    case Enum.find_index(list, &(not requirement?(&1))) do
      nil ->
        :ok

      index ->
        invalid(
          "requirement #{index}: wants a text, or a Vllm.Mellea.Requirement whose validate is a " <>
            "function of one argument",
          "requirements[#{index}]"
        )
    end
  end

  def check(_other), do: invalid("requirements: wants a list", "requirements")

  defp requirement?(text) when is_binary(text), do: true

  defp requirement?(%Requirement{validate: validate}),
    do: validate == nil or is_function(validate, 1)

  defp requirement?(_other), do: false

  @doc "What runs the validator of a requirement."
  @spec run([term()], non_neg_integer(), String.t()) :: (() -> term())
  def run(requirements, index, text) do
    %Requirement{validate: validate} = Enum.at(requirements, index)
    fn -> validate.(text) end
  end

  @doc """
  The verdict of a validator that has run, for the worker: the result, and by their names the reason and
  the score. An error ends the call.
  """
  @spec verdict([outcome()], non_neg_integer()) ::
          {:ok, {boolean(), keyword()}} | {:error, Error.t()}
  def verdict([{:ok, result}], _index) when is_boolean(result), do: {:ok, {result, []}}

  def verdict([{:ok, {result, reason}}], _index) when is_boolean(result) and is_binary(reason),
    do: {:ok, {result, [reason: reason]}}

  def verdict([{:ok, %ValidationResult{result: result} = it}], _index)
      when is_boolean(result) and (is_binary(it.reason) or it.reason == nil) and
             (is_number(it.score) or it.score == nil) do
    given = [reason: it.reason, score: it.score && it.score / 1]
    {:ok, {result, Enum.reject(given, fn {_name, value} -> value == nil end)}}
  end

  def verdict([{:ok, other}], index) do
    invalid(
      "the validator of requirement #{index} returned #{inspect(other, limit: 5, printable_limit: 100)}; " <>
        "a verdict is true, false, {boolean, reason} or a Vllm.Mellea.ValidationResult",
      "requirements[#{index}]"
    )
  end

  def verdict([{:error, :timeout}], index) do
    message =
      "the validator of requirement #{index} took too long; give it more time with validator_timeout"

    {:error, Error.new(:timeout, message)}
  end

  def verdict([{:error, reason}], index),
    do:
      invalid("the validator of requirement #{index} failed: #{reason}", "requirements[#{index}]")

  defp invalid(message, parameter),
    do: {:error, Error.new(:invalid, message, details: %{"parameter" => parameter})}
end
