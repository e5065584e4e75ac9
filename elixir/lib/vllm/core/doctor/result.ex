defmodule Vllm.Core.Doctor.Result do
  @moduledoc false
  # The result of a check of the doctor: good or bad, what was found, and what to do about it.

  @type t :: {:ok | :warn | :fail, found :: String.t(), advice :: String.t() | nil}

  @spec ok(String.t()) :: t()
  def ok(found), do: {:ok, found, nil}

  @spec warn(String.t(), String.t()) :: t()
  def warn(found, advice), do: {:warn, found, advice}

  @spec fail(String.t(), String.t()) :: t()
  def fail(found, advice), do: {:fail, found, advice}

  @spec unknown() :: t()
  def unknown, do: {:ok, "cannot be checked on this system", nil}
end
