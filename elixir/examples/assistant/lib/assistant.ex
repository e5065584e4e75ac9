defmodule Assistant do
  @moduledoc """
  Answers questions, with the engine that the application's supervision tree declares.
  """

  @doc "Answers a question."
  @spec ask(String.t()) :: {:ok, String.t()} | {:error, Vllm.Error.t()}
  def ask(question) do
    # Asked for anew each time: an engine that has died is built again. While it is being built, this
    # waits.
    with {:ok, engine} <- Vllm.engine(Assistant.Vllm, :chat, :infinity),
         {:ok, answer} <- Vllm.chat(engine, question, max_tokens: 60, temperature: 0.0),
         do: {:ok, hd(answer.choices).message.content}
  end

  @doc "Starts the application and prints an answer: for `bin/assistant eval`, which starts none."
  def main(question) do
    {:ok, _started} = Application.ensure_all_started(:assistant)

    case ask(question) do
      {:ok, answer} -> IO.puts(answer)
      {:error, error} -> raise error
    end
  end
end
