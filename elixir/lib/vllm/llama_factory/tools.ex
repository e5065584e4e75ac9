defmodule Vllm.LlamaFactory.Tools do
  @moduledoc """
  Finds the tool calls in an answer, by LLaMA-Factory's formats.

      text = ~s(Action: get_weather\\nAction Input: {"city": "Paris"})
      {:ok, [%{name: "get_weather", arguments: ~s({"city": "Paris"})}]} = Tools.extract("default", text)
  """

  alias Vllm.{Error, LlamaFactory}
  alias Vllm.Core.LlamaFactory.Settings

  @typedoc "A call of a tool, with its arguments as JSON."
  @type tool_call :: %{name: String.t(), arguments: String.t()}

  @doc """
  The tool calls in an answer: a list of maps with the name and the arguments as JSON, or the text
  itself if there are none. `Vllm.LlamaFactory.Chat.VllmEngine.extract_tool/3` takes the format of an
  engine's template.

  ## Options

  #{Settings.docs(:place)}
  """
  @spec extract(String.t(), String.t(), keyword()) ::
          {:ok, String.t() | [tool_call()]} | {:error, Error.t()}
  def extract(format, text, opts \\ []) do
    arguments = [tool_format: format, content: text]

    with {:ok, settings} <- Settings.validate(:place, opts),
         {:ok, found} <-
           LlamaFactory.on_instance("LlamaFactory", "extract_tool", arguments, settings),
         do: {:ok, calls(found)}
  end

  @doc "The names of the formats, sorted. Takes the options of `extract/3`."
  @spec formats(keyword()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def formats(opts \\ []) do
    with {:ok, settings} <- Settings.validate(:place, opts),
         do: LlamaFactory.on_instance("LlamaFactory", "tool_formats", [], settings)
  end

  @doc false
  @spec calls(String.t() | [map()]) :: String.t() | [tool_call()]
  def calls(text) when is_binary(text), do: text

  def calls(calls) do
    for %{"name" => name, "arguments" => arguments} <- calls,
        do: %{name: name, arguments: arguments}
  end
end
