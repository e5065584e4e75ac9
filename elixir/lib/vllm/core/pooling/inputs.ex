defmodule Vllm.Core.Pooling.Inputs do
  @moduledoc false
  # From what a caller writes to the list of inputs that is sent.

  alias Vllm.{Error, TextPrompt, TokensPrompt}
  alias Vllm.Core.Chat.Messages

  @prompts [TextPrompt, TokensPrompt, Vllm.EmbedsPrompt, Vllm.ExplicitEncoderDecoderPrompt]

  @doc "The inputs of a batch. One that is no list of inputs is the only one."
  @spec normalize(term(), String.t()) :: {:ok, [term()]} | {:error, Error.t()}
  def normalize(inputs, name) do
    cond do
      one?(inputs) -> each([inputs], name)
      is_list(inputs) and not List.improper?(inputs) -> each(inputs, name)
      true -> wrong(inputs, name)
    end
  end

  # Token ids are one input.
  defp one?(input), do: is_binary(input) or is_map(input) or ids?(input)

  defp ids?([first | _]), do: is_integer(first)
  defp ids?(_other), do: false

  defp each(inputs, name) do
    inputs
    |> Enum.with_index()
    |> Enum.reduce_while({:ok, []}, fn {input, index}, {:ok, done} ->
      case input(input) do
        {:ok, input} -> {:cont, {:ok, [input | done]}}
        :error -> {:halt, wrong(input, "#{name}[#{index}]", index)}
        {:error, %Error{} = error} -> {:halt, {:error, placed(error, "#{name}[#{index}]", index)}}
      end
    end)
    |> case do
      {:ok, done} -> {:ok, Enum.reverse(done)}
      error -> error
    end
  end

  defp input(text) when is_binary(text), do: {:ok, text}
  defp input(ids) when is_list(ids), do: if(ids?(ids) or ids == [], do: {:ok, ids}, else: :error)
  defp input(%struct{} = prompt) when struct in @prompts, do: {:ok, prompt}
  defp input(%{__struct__: _other}), do: :error
  defp input(%{messages: messages} = input), do: conversation(input, :messages, messages)
  defp input(%{"messages" => messages} = input), do: conversation(input, "messages", messages)
  defp input(%{} = prompt), do: {:ok, prompt}
  defp input(_other), do: :error

  defp conversation(input, key, messages) do
    with {:ok, messages} <- Messages.normalize(messages), do: {:ok, %{input | key => messages}}
  end

  defp placed(error, path, index) do
    %{
      error
      | message: "#{path}: #{error.message}",
        details: Map.put(error.details, "input", index)
    }
  end

  defp wrong(value, path, index \\ nil) do
    text =
      "#{path}: wants a text, a list of token ids, a prompt or a map with :messages, got: " <>
        inspect(value, limit: 5, printable_limit: 50)

    details = if index, do: %{"parameter" => path, "input" => index}, else: %{"parameter" => path}
    {:error, Error.new(:invalid, text, details: details)}
  end
end
