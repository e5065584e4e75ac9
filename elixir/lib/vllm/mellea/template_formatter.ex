defmodule Vllm.Mellea.TemplateFormatter do
  @moduledoc """
  Finds the Jinja template of a component, and renders it.

  A component's own `template` comes first. Otherwise, for each name of its `template_order`, the folder
  `template_path` is searched and then mellea's own templates. Of several files of a name the one in
  the deepest folder wins whose folders' names are part of the model's, and `prompts/default` is last.

  A formatter is an object of the worker; `new/2` returns its `Vllm.Ref`.
  """

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.Mellea.{Settings, Wire}
  alias Vllm.Mellea.Message

  @doc """
  Makes a formatter for a model.

  ## Options

  #{Settings.docs(:formatter)}
  """
  @spec new(String.t(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(model_id, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:formatter, opts) do
      arguments = [
        model_id: model_id,
        template_path: settings.template_path,
        use_template_cache: settings.use_template_cache
      ]

      place = List.wrap(settings.instance)

      Call.invoke_class(
        "MelleaTemplateFormatter",
        "new",
        0,
        place ++ [arguments, [rpc: settings.rpc]]
      )
    end
  end

  @doc "A component, a message, a text or a thunk as text. Takes `timeout` and `rpc`."
  @spec print(Ref.t(), Vllm.Mellea.span() | nil, keyword()) ::
          {:ok, String.t()} | {:error, Error.t()}
  def print(formatter, component, opts \\ []),
    do: call(formatter, "print", Wire.span(component), opts)

  @doc """
  Components as messages: thunks are the assistant's, others are the user's. Takes `timeout` and `rpc`.
  """
  @spec to_chat_messages(Ref.t(), [Vllm.Mellea.span()], keyword()) ::
          {:ok, [Message.t()]} | {:error, Error.t()}
  def to_chat_messages(formatter, components, opts \\ [])

  def to_chat_messages(formatter, components, opts) when length(components) >= 0 do
    with {:ok, messages} <-
           call(formatter, "to_chat_messages", Enum.map(components, &Wire.span/1), opts) do
      {:ok, Enum.map(messages, &%Message{role: &1["role"], content: &1["content"]})}
    end
  end

  def to_chat_messages(_formatter, _components, _opts),
    do: {:error, Error.new(:invalid, "components: wants a list")}

  defp call(%Ref{type: "MelleaTemplateFormatter"} = formatter, method, value, opts) do
    with {:ok, settings} <- Settings.validate(:asking, opts),
         do: Call.invoke(formatter, method, [value], [], rpc: settings.rpc)
  end

  defp call(other, _method, _value, _opts) do
    message =
      "formatter: wants the Vllm.Ref of a TemplateFormatter, got: " <>
        inspect(other, limit: 5, printable_limit: 100)

    {:error, Error.new(:invalid, message, details: %{"parameter" => "formatter"})}
  end
end
