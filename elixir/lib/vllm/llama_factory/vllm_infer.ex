defmodule Vllm.LlamaFactory.VllmInfer do
  @moduledoc """
  Answers a dataset, as LLaMA-Factory's script `vllm_infer.py`.

      examples = [%{instruction: "Translate to French.", input: "Good day", output: "Bonjour"}]
      {:ok, [%{prompt: _, predict: _, label: "Bonjour"}]} = VllmInfer.run(model, examples)

  Examples are read by LLaMA-Factory's own converters. All of them are rendered before the first is
  answered, so that a wrong one is told early; the error says which it is.
  """

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.LlamaFactory.Settings

  @typedoc "The prompt of an example, the answer, and the answer that the example expects."
  @type prediction :: %{prompt: String.t(), predict: String.t(), label: String.t()}

  @doc """
  One map for each example, in their order: the prompt without special tokens, the answer, and what the
  example says itself.

  `engine` is what `Vllm.LlamaFactory.Chat.VllmEngine.new/5` or
  `Vllm.LlamaFactory.Chat.ChatModel.new/2` returned. `dataset` is a list of maps, or the path of a JSON
  or JSONL file on the worker's machine. Telemetry tells how far it has
  come: `[:vllm, :llm, :progress]`, see `Vllm.Telemetry`.

  ## Options

  #{Settings.docs(:dataset)}
  """
  @spec run(Ref.t(), [map()] | String.t(), keyword()) ::
          {:ok, [prediction()]} | {:error, Error.t()}
  def run(engine, dataset, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:dataset, opts) do
      options =
        settings
        |> Settings.given(:dataset)
        |> Map.put(:generation, Settings.given(settings, :generation))

      with {:ok, predictions} <-
             Call.invoke(engine, "infer", [dataset], [options: options], rpc: settings.rpc) do
        {:ok,
         for %{"prompt" => prompt, "predict" => predict, "label" => label} <- predictions do
           %{prompt: prompt, predict: predict, label: label}
         end}
      end
    end
  end
end
