# Stand-ins for what `Vllm.LangChain` uses of LangChain 0.9.7: the callbacks of its behaviour for chat
# models, the fields of its structs, and what `new/1` refuses. They do not merge deltas or run chains.

defmodule LangChain.ChatModels.ChatModel do
  @callback call(struct(), String.t() | [struct()], [struct()]) ::
              {:ok, struct() | [struct()]} | {:error, Exception.t()}
  @callback provider() :: String.t()
  @callback retry_on_fallback?(Exception.t()) :: boolean()
  @callback serialize_config(struct()) :: %{String.t() => any()}
  @callback restore_from_map(%{String.t() => any()}) :: {:ok, struct()} | {:error, String.t()}
  @optional_callbacks provider: 0
end

defmodule Ecto.Changeset do
  defstruct errors: []
end

defmodule LangChain.LangChainError do
  @type t :: %__MODULE__{}

  defexception [:type, :message, :original]

  @impl true
  def exception(message) when is_binary(message), do: %__MODULE__{message: message}

  def exception(%Ecto.Changeset{errors: [error]}),
    do: %__MODULE__{type: "changeset", message: error}

  def exception(fields) when is_list(fields), do: struct!(__MODULE__, fields)
end

# Of flat objects of texts, which is all that these tests have.
defmodule Jason do
  def encode!(map) do
    "{" <> Enum.map_join(map, ",", fn {key, text} -> ~s("#{key}":"#{text}") end) <> "}"
  end

  def decode(text) do
    if text =~ ~r/\A\{.*\}\z/s,
      do:
        {:ok,
         for(
           [_, key, value] <- Regex.scan(~r/"(\w+)": ?"([^"]*)"/, text),
           into: %{},
           do: {key, value}
         )},
      else: {:error, :invalid}
  end
end

defmodule LangChain.StandIn do
  # As `cast`: fields that the struct does not have are left out, and nil keeps the default.
  def cast(module, fields) do
    known = module |> struct() |> Map.from_struct() |> Map.keys()
    given = for {key, value} <- fields, key in known, value != nil, do: {key, value}
    struct!(module, given)
  end

  def refuse(text), do: {:error, %Ecto.Changeset{errors: [text]}}
end

defmodule LangChain.TokenUsage do
  defstruct input: nil, output: nil, raw: %{}, cumulative: false
  def new(fields), do: {:ok, LangChain.StandIn.cast(__MODULE__, fields)}
end

defmodule LangChain.Message.ContentPart do
  defstruct type: :text, content: nil, options: [], citations: []
  def new(fields), do: {:ok, LangChain.StandIn.cast(__MODULE__, fields)}
end

defmodule LangChain.Message.ToolCall do
  defstruct [:call_id, :name, :arguments, :index, :display_text, :metadata] ++
              [status: :incomplete, type: :function]

  def new(fields), do: {:ok, LangChain.StandIn.cast(__MODULE__, fields)}

  def complete(call) do
    case Jason.decode(call.arguments) do
      {:ok, arguments} -> {:ok, %{call | status: :complete, arguments: arguments}}
      {:error, _reason} -> LangChain.StandIn.refuse("arguments: invalid json")
    end
  end
end

defmodule LangChain.Message.ToolResult do
  defstruct [:tool_call_id, :name, :content, :processed_content, :display_text, :options] ++
              [type: :function, is_error: false]
end

defmodule LangChain.Message do
  defstruct [:content, :processed_content, :index, :name, :tool_calls, :tool_results, :metadata] ++
              [status: :complete, role: :user]

  def new(fields) do
    message = LangChain.StandIn.cast(__MODULE__, fields)

    if message.status == :complete,
      do: complete(message, message.tool_calls || [], []),
      else: {:ok, message}
  end

  defp complete(message, [], done), do: {:ok, %{message | tool_calls: Enum.reverse(done)}}

  defp complete(message, [call | calls], done) do
    with {:ok, call} <- LangChain.Message.ToolCall.complete(call),
         do: complete(message, calls, [call | done])
  end
end

defmodule LangChain.MessageDelta do
  defstruct [:content, :index, :tool_calls, :metadata] ++
              [merged_content: [], status: :incomplete, role: :unknown]

  def new(fields), do: {:ok, LangChain.StandIn.cast(__MODULE__, fields)}
end

defmodule LangChain.FunctionParam do
  defstruct [:name, :type, required: false]

  def to_parameters_schema(parameters) do
    %{
      "type" => "object",
      "properties" => Map.new(parameters, &{&1.name, %{"type" => Atom.to_string(&1.type)}}),
      "required" => for(parameter <- parameters, parameter.required, do: parameter.name)
    }
  end
end

defmodule LangChain.Function do
  defstruct [:name, :description, :display_text, :function, :parameters_schema, :parse_args] ++
              [strict: false, async: false, parameters: [], options: []]
end

defmodule LangChain.Callbacks do
  def fire(callbacks, :on_llm_new_message, [messages]) when is_list(messages),
    do: for(message <- messages, do: fire(callbacks, :on_llm_new_message, [message]))

  def fire(callbacks, name, arguments) when is_list(callbacks) and is_list(arguments) do
    for %{^name => function} <- callbacks, do: call(function, name, arguments)
  end

  defp call(function, name, arguments) do
    apply(function, arguments)
  rescue
    error -> raise LangChain.LangChainError, "#{name} raised: #{Exception.message(error)}"
  end
end
